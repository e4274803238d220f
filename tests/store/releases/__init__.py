"""Releases in the operational database."""
