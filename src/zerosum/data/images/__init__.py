"""Readers of images: named sets, folders, zips, tar shards and arrays, each to uint8 rows with labels and notes."""
