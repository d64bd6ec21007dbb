package connect

// OpenWithin is Open with another timeout for the first request.
var OpenWithin = Options.open
