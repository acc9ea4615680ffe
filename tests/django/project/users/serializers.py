"""Validates the requests of the six endpoints."""

from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from rest_framework import serializers

from users.models import User


def validate_strength(password, user):
    """Raises what the validators of AUTH_PASSWORD_VALIDATORS object to."""
    try:
        password_validation.validate_password(password, user)
    except ValidationError as error:
        raise serializers.ValidationError({"password": error.messages}) from error


class CreateUserSerializer(serializers.ModelSerializer):
    """A sign-up."""

    class Meta:
        """The fields of a sign-up."""

        model = User
        fields = ["name", "email", "password"]
        extra_kwargs = {"password": {"write_only": True, "max_length": None}}

    def validate(self, attrs):
        """Checks the strength of the password, once all fields are valid."""
        validate_strength(attrs["password"], User(email=attrs["email"], name=attrs["name"]))
        return attrs

    def create(self, validated_data):
        """Creates the user."""
        return User.objects.create_user(**validated_data)


class ProfileSerializer(serializers.ModelSerializer):
    """A profile."""

    class Meta:
        """The fields of a profile."""

        model = User
        fields = ["name", "email", "creation_date"]


class ChangePasswordSerializer(serializers.Serializer):
    """A password change."""

    old_password = serializers.CharField()
    new_password = serializers.CharField()

    def validate(self, attrs):
        """Checks the strength of the new password, once both fields are valid."""
        validate_strength(attrs["new_password"], self.context["request"].user)
        return attrs
