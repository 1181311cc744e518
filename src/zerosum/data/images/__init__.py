"""Readers of images: named data sets, folders, zips, tar shards and arrays. Each returns uint8 rows with labels and notes."""
