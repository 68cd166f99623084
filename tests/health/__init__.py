"""Health, metrics, and settings that are refused."""
