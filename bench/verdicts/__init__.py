"""Bytes, time and energy compared with the budgets of a device."""
