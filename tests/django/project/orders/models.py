"""What the application keeps of its users."""

from django.conf import settings
from django.db import models


class Order(models.Model):
    """An order of a user."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    title = models.CharField(max_length=100)
