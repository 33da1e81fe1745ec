"""Mutators of the modes: certificates, identities, and companions."""
