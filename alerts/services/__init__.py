"""Every write of rules, alerts, silences, notifications and of what waits for evaluation."""

from alerts.services.alerts import acknowledge_alert, resolve_alert
from alerts.services.lanes import Evaluated, evaluate_lane, evaluate_waiting
from alerts.services.log_notes import LogEntry, queue_log_entries
from alerts.services.logs import evaluate_log_lane, evaluate_logs
from alerts.services.notify import Delivered, deliver_notifications
from alerts.services.queue import LANES, SampleBlock, lane_of, queue_samples, watched_attributes
from alerts.services.rules import create_rule, delete_rule, draft_rule, update_rule
from alerts.services.scopes import Scope, find_scope
from alerts.services.silences import create_silence, delete_silence, update_silence
from alerts.services.sweep import Swept, sweep
from alerts.services.targets import create_target, delete_target, reencrypt_targets, try_target, update_target

__all__ = [
    "LANES",
    "Delivered",
    "Evaluated",
    "LogEntry",
    "SampleBlock",
    "Scope",
    "Swept",
    "acknowledge_alert",
    "create_rule",
    "create_silence",
    "create_target",
    "delete_rule",
    "delete_silence",
    "delete_target",
    "deliver_notifications",
    "draft_rule",
    "evaluate_lane",
    "evaluate_log_lane",
    "evaluate_logs",
    "evaluate_waiting",
    "find_scope",
    "lane_of",
    "queue_log_entries",
    "queue_samples",
    "reencrypt_targets",
    "resolve_alert",
    "sweep",
    "try_target",
    "update_rule",
    "update_silence",
    "update_target",
    "watched_attributes",
]
