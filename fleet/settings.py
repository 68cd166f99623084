"""Django's settings, read from the environment; `docker/env.example` lists every variable.

Revisioned sensor configurations live in the app `config`; this module is the only place for settings.
Unsafe values do not start in production: see `fleet/checks.py`.
"""

import logging
from pathlib import Path
from urllib.parse import unquote, urlsplit

import environ
from corsheaders.defaults import default_headers

from fleet.database_pool import is_pool_wanted
from fleet.settings_accounts import *  # noqa: F403 - settings by name, of their own module for its length
from sensors.wire import IDENTIFIER_PATTERN, SLUG_PATTERN

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- Where it runs -------------------------------------------------------------------------------

# The stack of `manage.py up`: plain HTTP on loopback, secrets generated into its data folder.
FLEET_LOCAL = env.bool("FLEET_LOCAL", default=False)
DEBUG = env.bool("DEBUG", default=False)
# Checked by fleet.E001: empty or short values never start.
SECRET_KEY = env.str("SECRET_KEY", default="")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"] if FLEET_LOCAL else [])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Where the public address is https://; behind a proxy that ends TLS and sets X-Forwarded-Proto.
FLEET_HTTPS = env.bool("FLEET_HTTPS", default=not FLEET_LOCAL)
FLEET_DATA_DIR = Path(env.str("FLEET_DATA_DIR", default=str(BASE_DIR / ".local")))

# --- Applications --------------------------------------------------------------------------------

INSTALLED_APPS = [
    "fleet",
    "fleet.dashboard",
    "alerts",
    "telemetry",
    "config",
    "sensors",
    "unfold.apps.BasicAppConfig",
    "fleet.adminsite.apps.FleetAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "csp",
    "auditlog",
    "django_structlog",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "fleet.accounts.apps.SessionsConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "fleet.headers.HeadersMiddleware",
    "fleet.static_files.StaticFilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "fleet.accounts.sessions.SessionsMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "fleet.request_log.RequestLogMiddleware",
    "fleet.audit.ActorMiddleware",
]

ROOT_URLCONF = "fleet.urls"
ASGI_APPLICATION = "fleet.asgi.application"
AUTH_USER_MODEL = "sensors.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Servers -------------------------------------------------------------------------------------

# Never opened until something asks; the placeholder lets `collectstatic` and `--help` run without servers.
DATABASES = {"default": env.db_url("DATABASE_URL", default="postgres://fleet@127.0.0.1:5432/fleet")}
# Both a pool's connections and those of lasting threads are checked before use, so that a restart of PostgreSQL costs
# no request and no task.
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", default=16) if is_pool_wanted() else 0
DATABASES["default"]["CONN_MAX_AGE"] = 0 if DATABASE_POOL_SIZE else 600
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"].setdefault("OPTIONS", {}).update(
    {
        "connect_timeout": 5,
        # Finds a database host that vanished in about half a minute instead of two hours.
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
)
if DATABASE_POOL_SIZE:
    # reconnect_timeout: short, because the pool doubles its pauses, and a database that is back should be used.
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": DATABASE_POOL_SIZE,
        "timeout": 10,
        "reconnect_timeout": 5,
    }
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
MQTT_URL = env.str("MQTT_URL", default="mqtt://127.0.0.1:1883")
# Logins of the service itself, which no sensor may have: the broker would take the one for the other.
MQTT_RESERVED_USERNAMES = frozenset({"fleet-bridge", "sensor", unquote(urlsplit(MQTT_URL).username or "fleet-bridge")})
# How simulated sensors log in, where they need another way than MQTT_URL's host without a login.
MQTT_SENSOR_URL = env.str("MQTT_SENSOR_URL", default="")
# Where sensors reach the broker by TLS, for the lines that the dashboard shows.
MQTT_TLS_PORT = env.int("FLEET_MQTT_TLS_PORT", default=8883)
# What the broker's certificate is for (`manage.py certificates`), where ALLOWED_HOSTS does not say it.
MQTT_NAMES = env.list("FLEET_MQTT_NAMES", default=[])
# How sensors' accounts come to the broker: brought over its control topic (dynamic-security), not at all as it asks the
# service (http, docs/brokers.md), or as it reads the database itself (database: amqtt, in the local stack).
MQTT_ACCOUNTS = env.str("MQTT_ACCOUNTS", default="dynamic-security")
# With what a broker that asks shows that it is one; without it there is nobody to ask.
BROKER_AUTH_SECRET = env.str("BROKER_AUTH_SECRET", default="")
# Wrong passwords for one account from one address, at a broker that asks.
BROKER_LOGIN_THROTTLE = env.str("BROKER_LOGIN_THROTTLE", default="10/min")

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A hung Redis fails a publish after two seconds instead of blocking its caller.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "retry_on_timeout": True,
    "visibility_timeout": 3600,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "fleet"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# --- HTTP API ------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["sensors.api.renderers.FastJSONRenderer"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "sensors.api.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["sensors.api.parsers.StrictJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["sensors.api.filters.Filters"],
    "DEFAULT_PAGINATION_CLASS": "sensors.api.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["sensors.limits.requests.CallerThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "caller": env.str("API_THROTTLE", default="12000/min"),
        "login": env.str("LOGIN_THROTTLE", default="10/min"),
        "claim": env.str("CLAIM_THROTTLE", default="30/min"),
    },
    "NUM_PROXIES": env.int("NUM_PROXIES", default=0),
    "EXCEPTION_HANDLER": "sensors.api.errors.handle_error",
    "DATETIME_FORMAT": "iso-8601",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
REST_KNOX = {
    "TOKEN_MODEL": "sensors.AccessToken",
    "AUTH_HEADER_PREFIX": "Bearer",
    "TOKEN_TTL": None,
    "TOKEN_LIMIT_PER_USER": None,
}
KNOX_TOKEN_MODEL = "sensors.AccessToken"  # noqa: S105 - a model's name
# Their own models are swapped for ours; their migrations would make those tables all the same.
MIGRATION_MODULES = {"knox": None, "auditlog": None}
# How long a token of POST auth/token/ is valid, in days.
TOKEN_DAYS = env.int("TOKEN_DAYS", default=30)

# Sensors that introduce themselves (docs/claims.md): how many may wait by one code, and for how long.
CLAIMS_PER_CODE = env.int("CLAIMS_PER_CODE", default=1_000)
CLAIM_DAYS = env.int("CLAIM_DAYS", default=7)

SPECTACULAR_SETTINGS = {
    "TITLE": "Fleet",
    "DESCRIPTION": "Sensors, revisioned configurations, telemetry and alerts. Times are UTC, ISO 8601.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "RevisionStateEnum": "config.models.RevisionState",
        "LogSeverityEnum": "telemetry.models.Severity",
        "AlertStateEnum": "alerts.models.AlertState",
        "AlertSeverityEnum": "alerts.models.AlertSeverity",
        "RuleKindEnum": "alerts.models.RuleKind",
        "RuleScopeEnum": "alerts.models.RuleScope",
        "AlertResolutionEnum": "alerts.models.Resolution",
        "TokenScopeEnum": "sensors.models.TokenScope",
        "ClaimStateEnum": "sensors.models.ClaimState",
        "ClaimCodeStateEnum": "sensors.models.ClaimCodeState",
        "CredentialStateEnum": "sensors.api.credentials.STATES",
        "NotificationEventEnum": "alerts.models.NotificationEvent",
        "NotificationStateEnum": "alerts.models.NotificationState",
        "InvitationStateEnum": "sensors.models.InvitationState",
    },
    "PATH_CONVERTER_OVERRIDES": {
        "identifier": {"type": "string", "pattern": f"^{IDENTIFIER_PATTERN}$"},
        "network": {"type": "string", "pattern": f"^{SLUG_PATTERN}$"},
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "fleet.api.schema.add_errors",
    ],
}

CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = [*default_headers, "x-api-key"]

CACHES = {
    # For libraries that use Django's cache. Nothing of the service hangs on it: limits are counted by `sensors.limits`,
    # and which codes of a second factor were used is in the database.
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
        "KEY_PREFIX": "fleet",
    }
}

# --- Alerts --------------------------------------------------------------------------------------

# How often a rule and a sensor (or gateway) may fire and resolve within so many seconds; beyond that the alert flaps.
FLAPPING_TRANSITIONS = env.int("FLAPPING_TRANSITIONS", default=6)
FLAPPING_WINDOW_S = env.int("FLAPPING_WINDOW_S", default=3600)

# --- Security ------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["fleet.login.LoginBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = FLEET_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = FLEET_HTTPS
# Probes, and brokers that ask, come from inside, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$", r"^api/v1/broker/"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if FLEET_HTTPS else None
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31536000) if FLEET_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = FLEET_HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}
# The local stack is plain HTTP on loopback: no HSTS, no redirect to HTTPS, no Secure on its cookies.
SILENCED_SYSTEM_CHECKS = [f"security.{name}" for name in ("W004", "W008", "W012", "W016")] if FLEET_LOCAL else []
# A bearer token for Prometheus; without one /metrics is for staff only.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# How often an open WebSocket asks whether its user still may, in seconds; at most 14 (docs/websocket.md).
LIVE_RECHECK_S = env.float("LIVE_RECHECK_S", default=10)
# How many WebSockets one user, with all sessions and tokens, may have open in each web process.
LIVE_SOCKETS_PER_USER = env.int("LIVE_SOCKETS_PER_USER", default=100)

# --- Notifications of alerts (docs/alerts.md) ----------------------------------------------------

# Where browsers reach the service, for links in messages; without it there are none.
PUBLIC_URL = env.str("PUBLIC_URL", default="").rstrip("/")
# What addresses of targets are encrypted with, the newest first; all of them, and then SECRET_KEY, read.
NOTIFICATION_KEYS = env.list("NOTIFICATION_KEYS", default=[])
# Schemes of apprise that addresses of targets may have: mail, webhooks, and chats that are reached by HTTPS. Others
# run programs, write to this machine, or open connections that nothing limits.
NOTIFICATION_SCHEMES = env.list(
    "NOTIFICATION_SCHEMES",
    default=[
        *("mailto", "mailtos", "json", "jsons", "form", "forms", "xml", "xmls", "slack", "discord", "workflows"),
        *("tgram", "ntfy", "ntfys", "matrix", "matrixs", "pover", "gotify", "gotifys", "rocket", "rockets"),
        *("mmost", "mmosts"),
    ],
)
# Networks (10.1.0.0/16) and addresses that notifications may go to although they are not public.
NOTIFICATION_PRIVATE_TARGETS = env.list("NOTIFICATION_PRIVATE_TARGETS", default=[])

# --- Texts, times, files -------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["fleet.formats"]
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# The local stack serves the apps' files where they lie, so that nothing must be collected first.
SERVESTATIC_USE_FINDERS = FLEET_LOCAL
SERVESTATIC_AUTOREFRESH = DEBUG
# A configuration or a bulk of sensors; telemetry does not come over HTTP.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024


UNFOLD = {
    "SITE_TITLE": "Fleet",
    "SITE_HEADER": "Fleet",
    "SITE_URL": "/",
    "SITE_SYMBOL": "sensors",
    "SHOW_HISTORY": True,
    "SHOW_BACK_BUTTON": True,
    "SIDEBAR": {"navigation": "fleet.adminsite.navigation.sections"},
    "STYLES": ["fleet.adminsite.navigation.stylesheet"],
    "SCRIPTS": ["fleet.adminsite.navigation.script"],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "fleet.adminsite.navigation.favicon"}],
}

AUDITLOG_LOGENTRY_MODEL = "sensors.AuditEntry"
AUDITLOG_INCLUDE_ALL_MODELS = False
AUDITLOG_DISABLE_ON_RAW_SAVE = True
AUDITLOG_STORE_JSON_CHANGES = True
# By default half of a masked text is shown.
AUDITLOG_MASK_CALLABLE = "sensors.history.masked"

# --- Limits of ingest (docs/mqtt.md) -------------------------------------------------------------

# Whether measurements, logs and heartbeats are kept for ever (None) where a network sets nothing else.
RETENTION_DAYS = env.int("RETENTION_DAYS", default=None)
# How long what could not be stored is kept, whatever the networks say: time to mend a cause and take it in again.
REJECTED_RETENTION_DAYS = env.int("REJECTED_RETENTION_DAYS", default=30)
# How many new rejected messages or entries of one sensor, and of all unknown ones together, are kept in one hour; what
# comes beyond is counted. All of a sensor that speaks once a minute, and at most 6.4 MB an hour of one that floods.
REJECTED_PER_SENSOR_AND_HOUR = env.int("REJECTED_PER_SENSOR_AND_HOUR", default=100)
# What may wait in the bridge for its writer; beyond that it stops reading and the broker keeps the rest.
BRIDGE_QUEUE_MESSAGES = env.int("BRIDGE_QUEUE_MESSAGES", default=5_000)
BRIDGE_QUEUE_BYTES = env.int("BRIDGE_QUEUE_BYTES", default=32 * 1024 * 1024)
# A measurement with more is refused, and so is one that would give its sensor more than that in all.
MAX_ATTRIBUTES_PER_MEASUREMENT = env.int("MAX_ATTRIBUTES_PER_MEASUREMENT", default=200)
MAX_ATTRIBUTES_PER_SENSOR = env.int("MAX_ATTRIBUTES_PER_SENSOR", default=2_000)

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOG_JSON = env.bool("LOG_JSON", default=not FLEET_LOCAL)
LOGGING_CONFIG = "fleet.logs.configure"
# One line a request, when it ends (fleet/request_log.py); its beginning only where somebody looks for defects.
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
LOGGING = {"level": LOG_LEVEL, "json": LOG_JSON}
