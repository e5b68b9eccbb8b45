"""What `manage.py sentry_check` knows. examination.py asks the servers; every other module but probe.py is without I/O.

verdicts: what one answer means      payloads: what is sent           servers: which server answered
ratelimits: limits in an answer      fates: what became of each item  storage: whether the API has the event
oddities: what looks wrong           table: how it is shown
"""
