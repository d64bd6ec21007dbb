package progress

import "fmt"

// Line returns the row as one line of text, without a time.
func (r Row) Line() string {
	return fmt.Sprintf("%s/%s  revision %s  updated %d/%d  ready %d/%d  available %d/%d  old %d  %s",
		r.Namespace, r.Name, orDash(r.Revision), r.Updated, r.Desired, r.Ready, r.Desired, r.Available, r.Desired, r.Old, r.Condition)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
