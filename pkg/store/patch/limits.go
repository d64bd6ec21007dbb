package patch

import "fmt"

// The limits of a patch. The first three are those of Kubernetes' API server.
const (
	maxPatch      = 3 << 20 // bytes
	maxOperations = 10_000
	maxCopied     = 3 << 20 // bytes that all copy operations make together
	maxDepth      = 10_000  // as deep as JSON decodes
	// Moving maxMoved elements takes less than a second.
	maxMoved = 100_000_000
	// maxComparisons allows one list of 4,000 elements. It takes about a second.
	maxComparisons = 16_000_000
)

// limitError says that a patch exceeds a limit.
type limitError struct{ message string }

func (e *limitError) Error() string { return e.message }

func limit(format string, args ...any) error { return &limitError{fmt.Sprintf(format, args...)} }

func errDepth() error { return limit("the result is nested more than %d deep", maxDepth) }
