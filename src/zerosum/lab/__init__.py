"""The lab: an interactive game in the browser, computed by the engine, and a page that shows a run in progress."""
