"""Offline evaluation: a log is replayed through the product's own pipeline, tables and read statement."""
