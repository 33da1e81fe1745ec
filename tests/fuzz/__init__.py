"""Coverage-guided fuzzing of every parser of outside bytes: ``python -m tests.fuzz all``."""
