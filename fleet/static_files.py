"""Static files beside the service, without a detour for everything else."""

from collections.abc import Callable

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from servestatic.middleware import ServeStaticMiddleware


class StaticFilesMiddleware:
    """Lets ServeStatic answer below STATIC_URL, and only there.

    ServeStatic is asynchronous alone: as a part of the chain it would make each request change threads twice more,
    a tenth of what a short answer costs.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._files = async_to_sync(ServeStaticMiddleware(sync_to_async(get_response)))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(settings.STATIC_URL):
            return self._files(request)
        return self._get_response(request)
