"""What is answered where no view is: JSON below /api/, pages elsewhere."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import Resolver404, resolve
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def no_such_path(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """Return 404 with what to do about it; a read that only lacks the last slash is sent there."""
    detail = f"There is no {request.path[:200]!r}. The paths are listed at /api/docs/."
    if not request.path.endswith("/") and _exists(request.path_info + "/"):
        if request.method in ("GET", "HEAD"):
            return HttpResponseRedirect(request.get_full_path(force_append_slash=True))
        detail = f"Paths end in a slash: {request.path[:200] + '/'!r}."
    return JsonResponse({"detail": detail}, status=404)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return 400 for what Django refused before a view saw it."""
    if _is_api(request):
        detail = "The request was refused: it is malformed, too large or meant for another host."
        return JsonResponse({"detail": detail}, status=400)
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return 404."""
    if _is_api(request):
        return JsonResponse({"detail": "There is nothing at this address."}, status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Return 500 for a defect; the log holds what happened."""
    if _is_api(request):
        return JsonResponse({"detail": "Something went wrong in the server; its log says what."}, status=500)
    return defaults.server_error(request)


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def _exists(path: str) -> bool:
    try:
        return resolve(path).func is not no_such_path
    except Resolver404:
        return False
