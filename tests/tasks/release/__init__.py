"""Staged releases."""
