"""What lives for a second is not worth compressing: that took a tenth of the time of storing a batch."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("alerts", "0002_invariants")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE alerts_evaluationbatch ALTER COLUMN samples SET STORAGE EXTERNAL",
            "ALTER TABLE alerts_evaluationbatch ALTER COLUMN samples SET STORAGE EXTENDED",
        )
    ]
