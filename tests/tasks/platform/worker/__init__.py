"""Tests of the worker, whose runs are forks of a warm process."""
