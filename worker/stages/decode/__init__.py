"""Raw bytes to what happened in the database; one module per event format.

Every decoder takes any bytes whatever and never raises: a bad record is a value, so it can never wedge the consumer.
"""
