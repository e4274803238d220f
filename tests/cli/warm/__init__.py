"""Tests of warm starts."""
