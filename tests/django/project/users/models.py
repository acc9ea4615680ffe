"""The user model of the project that Postern replaces, with the columns of its table `users_user`."""

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class UserManager(BaseUserManager):
    """Creates users by their email."""

    def create_user(self, email, password=None, **fields):
        """Creates a user whose password is hashed as the first of PASSWORD_HASHERS does."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A user, known by the email."""

    name = models.CharField(max_length=255)
    email = models.EmailField(unique=True)
    creation_date = models.DateTimeField(auto_now_add=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]
