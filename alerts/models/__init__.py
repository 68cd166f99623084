from alerts.models.alert import ABOUT_NEITHER, SUBJECT_IS_GONE, Alert, AlertState, Resolution, Silence
from alerts.models.evaluation import ConfiguredPeriod, EvaluationBatch, EvaluationProgress, RuleState, ScopeChange
from alerts.models.notes import LogNote, RevisionNote
from alerts.models.rule import BRIDGE_AWAY_AFTER_S, LOG_WINDOW_S, VALUE_KINDS, AlertSeverity, Rule, RuleKind, RuleScope

__all__ = [
    "ABOUT_NEITHER",
    "BRIDGE_AWAY_AFTER_S",
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
    "Resolution",
    "RevisionNote",
    "Rule",
    "RuleKind",
    "RuleScope",
    "RuleState",
    "ScopeChange",
    "Silence",
]
