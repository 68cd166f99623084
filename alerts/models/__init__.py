from alerts.models.alert import ABOUT_NEITHER, SUBJECT_IS_GONE, Alert, AlertState, Resolution, Silence
from alerts.models.evaluation import (
    ConfiguredPeriod,
    EvaluationBatch,
    EvaluationProgress,
    LogNote,
    RuleState,
    ScopeChange,
)
from alerts.models.notification import (
    DELIVERY_FIELDS,
    Notification,
    NotificationEvent,
    NotificationState,
    NotificationTarget,
)
from alerts.models.rule import BRIDGE_AWAY_AFTER_S, LOG_WINDOW_S, VALUE_KINDS, AlertSeverity, Rule, RuleKind, RuleScope

__all__ = [
    "ABOUT_NEITHER",
    "BRIDGE_AWAY_AFTER_S",
    "DELIVERY_FIELDS",
    "LOG_WINDOW_S",
    "SUBJECT_IS_GONE",
    "VALUE_KINDS",
    "Alert",
    "AlertSeverity",
    "AlertState",
    "ConfiguredPeriod",
    "EvaluationBatch",
    "EvaluationProgress",
    "LogNote",
    "Notification",
    "NotificationEvent",
    "NotificationState",
    "NotificationTarget",
    "Resolution",
    "Rule",
    "RuleKind",
    "RuleScope",
    "RuleState",
    "ScopeChange",
    "Silence",
]
