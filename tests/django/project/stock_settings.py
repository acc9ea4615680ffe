"""A project with Django's own user model and django-allauth."""

from common_settings import *

INSTALLED_APPS += ["allauth", "allauth.account"]
MIDDLEWARE += ["allauth.account.middleware.AccountMiddleware"]
