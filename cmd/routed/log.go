package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"routed/config"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// newLogger makes the process's log: zap behind slog, so that GoBGP's lines and ours come out alike. The lines
// of each event are bounded; of debug lines, those of one message: a hundred a second, and then every hundredth.
func newLogger(w io.Writer, format string, level zap.AtomicLevel) (*eventBound, error) {
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.MessageKey = "time", "msg"
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	switch format {
	case "json":
		encoder = zapcore.NewJSONEncoder(enc)
	case "console":
		encoder = zapcore.NewConsoleEncoder(enc)
	default:
		return nil, fmt.Errorf("--log-format %q: must be json or console", format)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)
	sampled := zapcore.NewSamplerWithOptions(core, time.Second, 100, 100)
	return newEventBound(zapslog.NewHandler(core), zapslog.NewHandler(sampled)), nil
}

// logLevel is how much is logged: what the flag says, else what the configuration in force says.
type logLevel struct {
	zap.AtomicLevel
	fixed bool // by the flag
}

// follow takes the level of a configuration that comes into force, which has been validated.
func (l logLevel) follow(cfg *config.Config) {
	if level, err := zapcore.ParseLevel(cfg.Log.Level); err == nil && !l.fixed {
		l.SetLevel(level)
	}
}

// parseLevel reads --log-level.
func parseLevel(s string) (zap.AtomicLevel, error) {
	level, err := zap.ParseAtomicLevel(s)
	if err != nil {
		return level, fmt.Errorf("--log-level %q: must be debug, info, warn or error", s)
	}
	return level, nil
}

// defaultLogFormat is for people on a terminal and for machines elsewhere.
func defaultLogFormat() string {
	if isTerminal(os.Stderr) {
		return "console"
	}
	return "json"
}
