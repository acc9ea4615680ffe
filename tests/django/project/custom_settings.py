"""The project that Postern replaces: a user model of its own, with an email in place of a user name."""

from common_settings import *

INSTALLED_APPS += ["users"]
AUTH_USER_MODEL = "users.User"
