"""Data room: traces to messages, the registry of data sets, reports of refused rows."""
