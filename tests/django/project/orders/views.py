"""The application."""

from rest_framework import permissions
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication

from orders.models import Order
from postern_accounts.authentication import PosternAuthentication


class OrdersView(APIView):
    """Lists the orders of a user who logged in at Django or at Postern."""

    authentication_classes = [PosternAuthentication, JWTAuthentication]
    permission_classes = [permissions.IsAuthenticated]

    def get(self, request):
        """Returns the titles."""
        return Response(list(Order.objects.filter(owner=request.user).values_list("title", flat=True)))
