"""Those of the six endpoints that are not views of simplejwt itself."""

from rest_framework import generics, permissions, status
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.serializers import TokenBlacklistSerializer
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.tokens import RefreshToken

from users.serializers import ChangePasswordSerializer, CreateUserSerializer, ProfileSerializer


class CreateUserView(generics.CreateAPIView):
    """Signs a user up."""

    serializer_class = CreateUserSerializer

    def create(self, request, *args, **kwargs):
        """Returns the tokens of the new user."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        token = RefreshToken.for_user(serializer.save())
        tokens = {"access": str(token.access_token), "refresh": str(token)}
        return Response({"message": "User created successfully!"} | tokens, status=status.HTTP_201_CREATED)


class LogoutView(APIView):
    """Blacklists a refresh token."""

    permission_classes = [permissions.IsAuthenticated]

    def post(self, request):
        """Blacklists the refresh token of the request."""
        serializer = TokenBlacklistSerializer(data=request.data)
        try:
            serializer.is_valid(raise_exception=True)
        except TokenError as error:
            raise InvalidToken(error.args[0]) from error
        return Response({"message": "Logged out successfully"})


class ProfileView(generics.RetrieveAPIView):
    """Shows the profile."""

    permission_classes = [permissions.IsAuthenticated]
    serializer_class = ProfileSerializer

    def get_object(self):
        """Returns the user who asks."""
        return self.request.user


class ChangePasswordView(APIView):
    """Changes the password."""

    permission_classes = [permissions.IsAuthenticated]

    def post(self, request):
        """Sets the new password if the old one matches."""
        serializer = ChangePasswordSerializer(data=request.data, context={"request": request})
        serializer.is_valid(raise_exception=True)
        if not request.user.check_password(serializer.validated_data["old_password"]):
            return Response({"old_password": ["Wrong password."]}, status=status.HTTP_400_BAD_REQUEST)
        request.user.set_password(serializer.validated_data["new_password"])
        request.user.save(update_fields=["password"])
        return Response({"message": "Password changed successfully"})
