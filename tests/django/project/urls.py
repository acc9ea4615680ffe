"""The admin site and the application of both projects, and the six endpoints of the one with its own user model."""

from django.conf import settings
from django.contrib import admin
from django.http import JsonResponse
from django.urls import path

from orders.views import OrdersView

urlpatterns = [path("admin/", admin.site.urls), path("orders/", OrdersView.as_view())]

if settings.AUTH_USER_MODEL == "users.User":
    from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

    from users import views

    urlpatterns += [
        path("create-user/", views.CreateUserView.as_view()),
        path("token/", TokenObtainPairView.as_view()),
        path("refresh/", TokenRefreshView.as_view()),
        path("logout/", views.LogoutView.as_view()),
        path("profile/", views.ProfileView.as_view()),
        path("change-password/", views.ChangePasswordView.as_view()),
    ]


def handler404(request, exception):
    """Returns the body of the API for an unknown path."""
    return JsonResponse({"error": "The endpoint was not found"}, status=404)


def handler500(request):
    """Returns the body of the API for a defect."""
    return JsonResponse({"error": "Internal server error"}, status=500)
