"""What the processes of a service share about a release: breakers, copies for the shadow, and the look that is shown.

May import `core`.
"""
