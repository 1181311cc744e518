"""The lab: the game in the browser, played by the real engine, and a page that watches a run in progress."""
