"""The protocol (wire, messages, session, flow: pure and role-neutral) and the broker.

This module imports nothing, so that a worker or client pays only for what it uses.
"""
