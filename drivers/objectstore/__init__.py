"""What the drivers of object stores have in common: all that is not a store's own.

A driver brings its `Store` (keys, requests, typed errors), its uploads with a writer,
and its parameters. From here it takes parts that are gathered within one budget and
sent in parallel, ranges that are read ahead, walks, batches of deletes, copies by
spans, and rounds that drop what was left behind.
"""
