"""Creates the tables, and users from the JSON on standard input, a hash of any hasher each."""

import json
import os
import sys

import argon2
import django
from django.apps import apps
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "custom_settings")
django.setup()

from django.contrib.auth import get_user_model, hashers

from orders.models import Order

User = get_user_model()
# The hashers, and the attribute that sets the cost of each.
HASHERS = {
    "pbkdf2_sha256": (hashers.PBKDF2PasswordHasher, "iterations"),
    "pbkdf2_sha1": (hashers.PBKDF2SHA1PasswordHasher, "iterations"),
    "argon2": (hashers.Argon2PasswordHasher, "memory_cost"),
    "bcrypt_sha256": (hashers.BCryptSHA256PasswordHasher, "rounds"),
    "bcrypt": (hashers.BCryptPasswordHasher, "rounds"),
    "scrypt": (hashers.ScryptPasswordHasher, "work_factor"),
    "md5": (hashers.MD5PasswordHasher, None),
}


def encoded(password, hasher, cost):
    """Returns the hash of a password, with the default cost of the hasher unless another is given."""
    if hasher == "unusable":
        return hashers.make_password(None)
    if hasher == "argon2i":
        # Of Django 1.10 to 3.1.
        old = argon2.PasswordHasher(time_cost=2, memory_cost=512, parallelism=2, type=argon2.Type.I)
        return "argon2" + old.hash(password)
    kind, attribute = HASHERS[hasher]
    instance = kind()
    if cost:
        setattr(instance, attribute, cost)
    return instance.encode(password, instance.salt())


def create(email, password, hasher, cost=None, verified=None, fields=None):
    """Creates a user with one order."""
    user = User(email=email, password=encoded(password, hasher, cost), **fields or {})
    user.save()
    Order.objects.create(owner=user, title=f"order of {email}")
    if verified is not None:
        from allauth.account.models import EmailAddress

        EmailAddress.objects.create(user=user, email=email, verified=verified, primary=True)


own_applications = [name for name in ("users", "orders", "postern_accounts") if apps.is_installed(name)]
call_command("makemigrations", *own_applications, verbosity=0)
call_command("migrate", verbosity=0)
for user in json.load(sys.stdin):
    create(**user)
