package etcd

import "strings"

// RedactEndpoints returns a copy of endpoints, such as those of clientv3.Client.Endpoints,
// that is safe to log: "redacted" replaces the user and the password of a URL, and its query.
// Endpoints need not be valid URLs.
func RedactEndpoints(endpoints ...string) []string {
	safe := make([]string, len(endpoints))
	for i, endpoint := range endpoints {
		safe[i] = redactEndpoint(endpoint)
	}
	return safe
}

func redactEndpoint(endpoint string) string {
	if strings.HasPrefix(endpoint, "unix:") || strings.HasPrefix(endpoint, "unixs:") {
		return endpoint // the rest is a path, which may contain any character
	}
	scheme, rest := "", endpoint
	if i := strings.Index(endpoint, "://"); i >= 0 {
		scheme, rest = endpoint[:i+3], endpoint[i+3:]
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = "redacted" + rest[i:]
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i+1] + "redacted"
	}
	return scheme + rest
}
