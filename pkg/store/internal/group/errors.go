package group

// NotSentError says that a transaction was certainly not sent.
type NotSentError struct {
	// Err says why.
	Err error
}

func (e *NotSentError) Error() string { return "not sent: " + e.Err.Error() }

// Unwrap returns Err.
func (e *NotSentError) Unwrap() error { return e.Err }
