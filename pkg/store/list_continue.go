package store

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// continueVersion is the version of the tokens that List returns and accepts.
const continueVersion = 1

// continuation is the content of a continue token. Its key is relative to the
// range of the list, so that a forged token cannot leave that range.
type continuation struct {
	Version    int    `json:"v"`
	Resource   string `json:"resource"`
	Namespace  string `json:"namespace,omitempty"`
	Revision   int64  `json:"rv"`
	Last       []byte `json:"last"` // the last key read; keys need not be UTF-8
	Descending bool   `json:"descending,omitempty"`
}

func (c continuation) encode() string {
	plain, err := json.Marshal(c)
	if err != nil {
		panic(err) // cannot be: strings, bytes and numbers
	}
	return base64.RawURLEncoding.EncodeToString(plain)
}

func decodeContinue(token string) (c continuation, err error) {
	plain, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return c, fmt.Errorf("continue token: %w", err)
	}
	if err := json.Unmarshal(plain, &c); err != nil {
		return c, fmt.Errorf("continue token: %w", err)
	}
	switch {
	case c.Version != continueVersion:
		return c, fmt.Errorf("continue token: version %d, want %d", c.Version, continueVersion)
	case c.Revision <= 0 || len(c.Last) == 0:
		return c, fmt.Errorf("continue token: revision or key is missing")
	}
	return c, nil
}

// resume moves the list to the position of a token.
func (l *listing) resume(token string) error {
	c, err := decodeContinue(token)
	switch {
	case err != nil:
		return apierrors.NewBadRequest(err.Error())
	case c.Resource != l.kind.resource.String() || c.Namespace != l.namespace:
		return apierrors.NewBadRequest(fmt.Sprintf("continue token: it is for %s in namespace %q, not for %s in %q",
			c.Resource, c.Namespace, l.kind.resource, l.namespace))
	case c.Descending != l.descending:
		return apierrors.NewBadRequest("continue token: it is for a list in the other order")
	}
	l.revision = c.Revision
	l.pass([]byte(l.prefix + string(c.Last)))
	return nil
}
