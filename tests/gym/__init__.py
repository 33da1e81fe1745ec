"""The mutation gym: spoiled packages by the thousand, and a verifier that must refuse each.

``python -m tests.gym --count 100000 --seed 1 --resume``. Every mutant follows from (seed, number).
"""
