"""The snap store's API as snapd speaks it today: settings, credentials, requests, and what the answers mean."""
