from alerts.models.alert import Alert, AlertState, Resolution, Silence
from alerts.models.evaluation import EvaluationBatch, EvaluationProgress, RuleState, ScopeChange
from alerts.models.rule import VALUE_KINDS, AlertSeverity, Rule, RuleKind, RuleScope

__all__ = [
    "VALUE_KINDS",
    "Alert",
    "AlertSeverity",
    "AlertState",
    "EvaluationBatch",
    "EvaluationProgress",
    "Resolution",
    "Rule",
    "RuleKind",
    "RuleScope",
    "RuleState",
    "ScopeChange",
    "Silence",
]
