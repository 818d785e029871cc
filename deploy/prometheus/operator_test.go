package prometheus

import (
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// port is one of a Service, of its addresses, or one that a monitor scrapes.
type port struct {
	Name, Port, Interval string
	Relabelings          []map[string]string
}

// manifest is what the manifests of the operator must agree on.
type manifest struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Spec struct {
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		Ports               []port
		Endpoints           []port
		PodMetricsEndpoints []port `yaml:"podMetricsEndpoints"`
	}
	Subsets []struct{ Ports []port }
}

func manifests(t *testing.T, file string) map[string]manifest {
	t.Helper()
	out := map[string]manifest{}
	for d := yaml.NewDecoder(strings.NewReader(read(t, file))); ; {
		var m manifest
		err := d.Decode(&m)
		if err == io.EOF { //nolint:errorlint // the decoder returns it as it is
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[m.Kind] = m
	}
}

// What the monitors scrape is what the Service has, under the job's name that the alerts go by.
func TestMonitorsMatch(t *testing.T) {
	of := manifests(t, "operator/servicemonitor.yaml")
	maps.Copy(of, manifests(t, "operator/podmonitor.yaml"))
	service, addresses, monitor := of["Service"], of["Endpoints"], of["ServiceMonitor"]
	if service.Metadata.Name == "" || service.Metadata.Name != addresses.Metadata.Name ||
		service.Metadata.Namespace != addresses.Metadata.Namespace || service.Metadata.Namespace != monitor.Metadata.Namespace {
		t.Errorf("Service %v, Endpoints %v, ServiceMonitor %v", service.Metadata, addresses.Metadata, monitor.Metadata)
	}
	if want := monitor.Spec.Selector.MatchLabels; len(want) == 0 || !maps.Equal(want, service.Metadata.Labels) {
		t.Errorf("the ServiceMonitor selects %v, the Service has %v", want, service.Metadata.Labels)
	}
	scraped := append(monitor.Spec.Endpoints, of["PodMonitor"].Spec.PodMetricsEndpoints...)
	if len(scraped) != 2 || len(service.Spec.Ports) != 1 || len(addresses.Subsets) != 1 || len(addresses.Subsets[0].Ports) != 1 {
		t.Fatalf("not one port each: %+v", of)
	}
	for _, p := range scraped {
		if p.Port != service.Spec.Ports[0].Name || p.Port != addresses.Subsets[0].Ports[0].Name {
			t.Errorf("scraped is the port %s, there is %v", p.Port, service.Spec.Ports)
		}
		if len(p.Relabelings) != 1 || p.Relabelings[0]["targetLabel"] != "job" || p.Relabelings[0]["replacement"] != "routed" {
			t.Errorf("the alerts go by job=\"routed\": %v", p.Relabelings)
		}
	}
}
