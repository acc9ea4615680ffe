"""Hashes for tests that are about something else."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class CheapHasher(PBKDF2PasswordHasher):
    """A thousandth of the cost."""

    iterations = 1000
