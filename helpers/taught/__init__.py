"""Definitions that a lesson builds and later lessons import; written by `runner taught`, never by hand."""
