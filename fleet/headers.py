"""Headers of answers that Django has no setting for."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

# What no page of the service uses, so that no script that got in could either. Copying to the clipboard is used.
_FEATURES: Final = (
    *("accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen", "geolocation"),
    *("gyroscope", "hid", "magnetometer", "microphone", "midi", "payment", "picture-in-picture"),
    *("screen-wake-lock", "serial", "usb", "xr-spatial-tracking"),
)
PERMISSIONS_POLICY: Final = ", ".join(f"{feature}=()" for feature in _FEATURES)


class HeadersMiddleware:
    """Says which features pages may use, and that no cache keeps what is not said to be for everybody.

    Static files say for themselves how long they may be kept.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        response.headers.setdefault("Cache-Control", "no-store")
        return response
