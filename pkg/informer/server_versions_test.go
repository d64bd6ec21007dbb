package informer

import "testing"

func TestFlawOf(t *testing.T) {
	for version, want := range map[string]string{
		"3.4.44":           flawLoss,
		"3.5.17":           flawLoss,
		"3.5.18-rc.0":      flawLoss,
		"3.5.18":           flawPermission,
		"3.5.32":           flawPermission,
		"3.5.33":           flawAge,
		"3.5.99":           flawAge,
		"3.6.0-alpha.0":    flawLoss,
		"3.6.0":            flawLoss,
		"3.6.8":            flawLoss,
		"3.6.9":            flawPermission,
		"3.6.13":           flawPermission,
		"3.6.14-rc.1":      flawPermission,
		"3.6.14":           "",
		"v3.6.20":          "",
		"3.7.0-rc.1":       flawPermission,
		"3.7.0":            flawPermission,
		"3.7.1-rc.0":       flawPermission,
		"3.7.1":            "",
		"3.5.9+vendor":     flawLoss,
		"3.7.3+vendor":     "",
		"3.8.0-alpha.0":    "",
		"3.10.0":           "",
		"4.0.0":            "",
		"":                 "",
		"not decided":      "",
		"3.6":              "",
		"3.6.-1":           "",
		"3.6.1-":           "",
		"3.6.1.2":          "",
		"0.0.0":            flawLoss,
		"2.3.8":            flawLoss,
		"999999999.0.0-rc": "",
	} {
		if got := flawOf(version); got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}
