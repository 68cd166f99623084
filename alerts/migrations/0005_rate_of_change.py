"""Rules about how much a value changes a minute."""

from django.db import migrations, models
from django.db.models import Q

# A column that a trigger looks at cannot change its type.
DROP_TRIGGER = "DROP TRIGGER note_scope_of_changed ON alerts_rule"
MAKE_TRIGGER = """
CREATE TRIGGER note_scope_of_changed AFTER UPDATE ON alerts_rule
    FOR EACH ROW WHEN (
        (OLD.enabled, OLD.kind, OLD.scope, OLD.labels, OLD.period_s, OLD.grace_s, OLD.share)
            IS DISTINCT FROM (NEW.enabled, NEW.kind, NEW.scope, NEW.labels, NEW.period_s, NEW.grace_s, NEW.share)
    )
    EXECUTE FUNCTION alerts_note_rule()
"""


class Migration(migrations.Migration):
    dependencies = [("alerts", "0004_progress_by_sensor")]

    operations = [
        migrations.RunSQL(DROP_TRIGGER, MAKE_TRIGGER),
        migrations.AlterField(
            model_name="rule",
            name="kind",
            field=models.CharField(
                choices=[
                    ("threshold", "Threshold"),
                    ("rate_of_change", "Rate Of Change"),
                    ("staleness", "Staleness"),
                    ("gateway_silence", "Gateway Silence"),
                ],
                max_length=24,
            ),
        ),
        migrations.RunSQL(MAKE_TRIGGER, DROP_TRIGGER),
        migrations.RemoveConstraint(model_name="rule", name="threshold_rule_has_attribute_and_limit"),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=~Q(kind__in=["threshold", "rate_of_change"])
                | (~Q(attribute="") & (Q(above__isnull=False) | Q(below__isnull=False))),
                name="value_rule_has_attribute_and_limit",
            ),
        ),
    ]
