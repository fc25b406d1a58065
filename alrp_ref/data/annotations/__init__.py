"""Annotation files that any tool wrote: find, read, normalise and check them."""
