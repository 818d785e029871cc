// Command bookinfo runs one service of Bookinfo:
//
//	bookinfo details     --listen ADDRESS
//	bookinfo ratings     --listen ADDRESS
//	bookinfo reviews     --listen ADDRESS --version v1|v2|v3 [--ratings ENDPOINTS]
//	bookinfo productpage --listen ADDRESS --details ENDPOINTS --reviews ENDPOINTS
//	bookinfo gateway     --listen ADDRESS --productpage ENDPOINTS
//
// ENDPOINTS are the pods of another service, ADDRESS:PORT, separated by commas and asked in turn. ADDRESS is HOST:PORT, or
// unix:PATH. It ends at SIGTERM, with status 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"routed/examples/bookinfo/services"
)

// options are the command line.
type options struct {
	role        string
	listen      string
	id          services.Identity
	version     string
	details     string
	reviews     string
	ratings     string
	productpage string
}

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bookinfo:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	o, err := parse(args)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("service", o.role, "pod", o.id.Pod)
	handler, err := o.service(log)
	if err != nil {
		return err
	}
	network, address := "tcp", o.listen
	if path, isUnix := strings.CutPrefix(o.listen, "unix:"); isUnix {
		network, address = "unix", path
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	if err != nil {
		return err
	}
	log.Info("listening", "event", "listening", "address", l.Addr().String())
	return services.Serve(ctx, l, handler)
}

func parse(args []string) (options, error) {
	if len(args) == 0 {
		return options{}, errors.New("name a service: details, ratings, reviews, productpage or gateway")
	}
	o := options{role: args[0]}
	fs := flag.NewFlagSet("bookinfo "+o.role, flag.ContinueOnError)
	fs.StringVar(&o.listen, "listen", ":9080", "HOST:PORT, or unix:PATH")
	fs.StringVar(&o.id.Pod, "pod", "", "the pod's name, as answers tell it")
	fs.StringVar(&o.id.Cluster, "cluster", "", "the cluster's name, as answers tell it")
	fs.StringVar(&o.version, "version", "v1", "of reviews: v1, v2 or v3")
	fs.StringVar(&o.details, "details", "", "endpoints of details")
	fs.StringVar(&o.reviews, "reviews", "", "endpoints of reviews")
	fs.StringVar(&o.ratings, "ratings", "", "endpoints of ratings")
	fs.StringVar(&o.productpage, "productpage", "", "endpoints of the product page")
	if err := fs.Parse(args[1:]); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q", fs.Args())
	}
	return o, nil
}

// service makes the handler of the role.
func (o options) service(log *slog.Logger) (http.Handler, error) {
	switch o.role {
	case "details":
		return services.NewDetails(o.id), nil
	case "ratings":
		return services.NewRatings(o.id), nil
	case "reviews":
		return o.reviewsService(log)
	case "productpage":
		details, err := services.NewEndpoints("details", o.details, services.PageTimeout)
		if err != nil {
			return nil, err
		}
		reviews, err := services.NewEndpoints("reviews", o.reviews, services.PageTimeout)
		if err != nil {
			return nil, err
		}
		return services.NewProductPage(details, reviews, log)
	case "gateway":
		page, err := services.NewEndpoints("productpage", o.productpage, services.GatewayTimeout)
		if err != nil {
			return nil, err
		}
		return services.NewGateway(page, log), nil
	default:
		return nil, fmt.Errorf("no service %q: want details, ratings, reviews, productpage or gateway", o.role)
	}
}

// reviewsService has endpoints of ratings unless it is v1.
func (o options) reviewsService(log *slog.Logger) (http.Handler, error) {
	if o.ratings == "" {
		return services.NewReviews(o.id, o.version, nil, log)
	}
	ratings, err := services.NewEndpoints("ratings", o.ratings, services.RatingsTimeout)
	if err != nil {
		return nil, err
	}
	return services.NewReviews(o.id, o.version, ratings, log)
}
