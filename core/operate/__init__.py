"""Operation: triggers, events, alerts, schedules, outbound address checks, and the rules that pace retraining.

May import the single modules of `core` and `config`.
"""
