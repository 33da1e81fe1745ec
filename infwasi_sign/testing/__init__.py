"""What helps to test code that signs and verifies; nothing else in the package imports it."""
